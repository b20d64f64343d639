"""Postfix with OpenDKIM as a milter, relaying the same mail: a peer that is durable and signs RSA-2048 as we do.

An instance of its own in the scratch folder, tuned: 100 SMTP clients, destination concurrency 50, connections cached.
Injected by Postfix's smtp-source on 16 sessions; the milter listens on a Unix socket, since over TCP each exchange waits for
a delayed acknowledgement.
"""

import os
import pwd
import subprocess
import time

from harness import cpu_seconds, descendants, free_port, tool, wait_port

DOMAINS = [f"{letter}.load.test" for letter in "abcdefgh"]

MAIN = """
compatibility_level = 3.6
config_directory = {d}/etc
queue_directory = {d}/queue
data_directory = {d}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {d}/log/mail.log
maillog_file_prefixes = {d}
myhostname = mx.relay.test
mydestination =
local_recipient_maps =
local_transport = error:no local mail
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtp_dns_support_level = disabled
smtp_host_lookup = native
disable_dns_lookups = yes
transport_maps = hash:{d}/etc/transport
alias_maps =
alias_database =
biff = no
default_process_limit = 200
default_destination_concurrency_limit = 50
initial_destination_concurrency = 20
smtp_destination_concurrency_limit = 50
smtp_connection_cache_on_demand = yes
smtp_connection_reuse_count_limit = 1000
qmgr_message_active_limit = 40000
qmgr_message_recipient_limit = 40000
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_milters = unix:{d}/milter/dkim.sock
milter_default_action = tempfail
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_PRELOAD SLOW_SYNC_US
"""

MASTER = """
{port} inet n - n - 200 smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - 100 smtp
relay unix - - n - 100 smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, scratch, sink, message, env=None):
        d = self.dir = scratch.dir / "postfix"
        self.message, self.port = message, free_port()
        for name in ("etc", "queue", "data", "log", "milter"):
            os.makedirs(d / name)
        owner = pwd.getpwnam("postfix")
        os.chown(d / "data", owner.pw_uid, owner.pw_gid)
        for folder in (scratch.dir, d):
            os.chmod(folder, 0o755)
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", d / "dkim.pem", "2048"], check=True, capture_output=True)
        (d / "opendkim.conf").write_text(
            f"Syslog no\nMode s\nDomain sender.test\nSelector s1\nKeyFile {d}/dkim.pem\nCanonicalization relaxed/relaxed\n"
            f"Socket local:{d}/milter/dkim.sock\nUMask 000\nBackground no\nRequireSafeKeys no\nOversignHeaders From\n"
            f"InternalHosts 127.0.0.0/8\nPidFile {d}/opendkim.pid\n")
        self.milter = scratch.spawn([tool("opendkim"), "-f", "-x", str(d / "opendkim.conf")], "opendkim.log")
        end = time.monotonic() + 10
        while not (d / "milter" / "dkim.sock").exists() and time.monotonic() < end:
            time.sleep(0.05)
        (d / "etc/main.cf").write_text(MAIN.format(d=d))
        (d / "etc/master.cf").write_text(MASTER.format(port=self.port))
        (d / "etc/dynamicmaps.cf").write_text("")
        (d / "etc/transport").write_text("".join(f"{domain} smtp:[127.0.0.1]:{sink.port}\n" for domain in DOMAINS))
        subprocess.run([tool("postmap"), "-c", d / "etc", f"hash:{d}/etc/transport"], check=True)
        self.master = scratch.spawn([tool("postfix"), "-c", str(d / "etc"), "start-fg"], "postfix.log", env)
        wait_port(self.port)

    def stop(self):
        """The script in the foreground does not pass a signal on to its master."""
        subprocess.run([tool("postfix"), "-c", self.dir / "etc", "stop"], capture_output=True, check=True)
        self.master.wait()

    def cpu(self):
        """CPU seconds of all its processes; those that ended count by their parents, who waited for them."""
        return cpu_seconds(*descendants(self.master.pid), *descendants(self.milter.pid))

    def inject(self, count):
        """Sends `count` copies on 16 sessions over the domains, and waits until all are accepted."""
        path = self.dir / "message.eml"
        path.write_bytes(self.message)
        share, sources = count // len(DOMAINS), []
        for domain in DOMAINS:
            sources.append(subprocess.Popen(
                [tool("smtp-source"), "-d", "-s", "2", "-m", str(share), "-f", "offers@sender.test", "-t", f"buyer@{domain}",
                 "-F", str(path), f"127.0.0.1:{self.port}"]))
        for source in sources:
            if source.wait(900) != 0:
                raise RuntimeError("smtp-source failed")
        return share * len(DOMAINS)
