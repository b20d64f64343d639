/* Preloaded, it counts every flush and makes each take SLOW_SYNC_US microseconds longer: a disk whose flush really reaches the
 * platter. The disks of small virtual machines often answer in tens of microseconds. A sleep costs no CPU, so CPU figures stay
 * comparable. It counts into the file SLOW_SYNC_COUNTS (three 64-bit words: processes that loaded it, flushes, microseconds of
 * the delays), mapped when it is loaded: a process that changes its root or its user afterwards still counts.
 * Writes to files opened with O_SYNC or O_DSYNC, io_uring and calls past the C library are not covered. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static uint64_t nowhere[3];
static uint64_t *counts = nowhere;
static long delay;

__attribute__((constructor)) static void begin(void) {
    const char *micros = getenv("SLOW_SYNC_US"), *path = getenv("SLOW_SYNC_COUNTS");
    delay = micros ? atol(micros) : 0;
    int saved = errno, fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *page = mmap(0, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page != MAP_FAILED) counts = page;
        close(fd);
    }
    errno = saved;
    __atomic_add_fetch(&counts[0], 1, __ATOMIC_RELAXED);
}

static void linger(void) {
    int saved = errno;
    if (delay > 0) {
        struct timespec began, ended, rest = {delay / 1000000, delay % 1000000 * 1000};
        clock_gettime(CLOCK_MONOTONIC, &began);
        while (nanosleep(&rest, &rest) && errno == EINTR) {
        }
        clock_gettime(CLOCK_MONOTONIC, &ended);
        __atomic_add_fetch(&counts[2], (ended.tv_sec - began.tv_sec) * 1000000 + (ended.tv_nsec - began.tv_nsec) / 1000, __ATOMIC_RELAXED);
    }
    /* Counted once it was delayed: a reader in between must not take it for a flush that was not. */
    __atomic_add_fetch(&counts[1], 1, __ATOMIC_RELEASE);
    errno = saved;
}

#define FLUSH(name, parameters, ...)                            \
    int name parameters {                                       \
        static int(*real) parameters;                           \
        if (!real) real = (int(*) parameters)dlsym(RTLD_NEXT, #name); \
        int result = real(__VA_ARGS__);                         \
        linger();                                               \
        return result;                                          \
    }

FLUSH(fsync, (int fd), fd)
FLUSH(fdatasync, (int fd), fd)
FLUSH(syncfs, (int fd), fd)
FLUSH(sync_file_range, (int fd, off_t offset, off_t length, unsigned flags), fd, offset, length, flags)
FLUSH(msync, (void *start, size_t length, int flags), start, length, flags)
