/* Preloaded, it makes every flush take SLOW_SYNC_US microseconds longer: a disk whose flush really reaches the platter.
 * The disks of small virtual machines often answer in tens of microseconds. A sleep costs no CPU, so CPU figures stay
 * comparable. O_DSYNC writes and io_uring are not covered. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static void linger(void) {
    const char *micros = getenv("SLOW_SYNC_US");
    if (micros) usleep((useconds_t)atoi(micros));
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    int result = real(fd);
    linger();
    return result;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    int result = real(fd);
    linger();
    return result;
}

int sync_file_range(int fd, off_t offset, off_t length, unsigned flags) {
    static int (*real)(int, off_t, off_t, unsigned);
    if (!real) real = dlsym(RTLD_NEXT, "sync_file_range");
    int result = real(fd, offset, length, flags);
    linger();
    return result;
}
