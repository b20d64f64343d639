"""The peer of the tracker: nginx with `return 302` and `empty_gif`, its access log on, as many workers as we have threads."""

import os

from harness import descendants, free_port, tool, wait_port


class Nginx:
    def __init__(self, scratch, certificate):
        self.plain, self.tls = free_port(), free_port()
        file = scratch.dir / "nginx.conf"
        # As lean as nginx is: no compression, no proxying, one buffered access log as its package has it.
        file.write_text(f"""
user root;
daemon off;
worker_processes {os.cpu_count()};
pid {scratch.dir}/nginx.pid;
error_log {scratch.dir}/nginx-error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log {scratch.dir}/nginx-access.log combined;
  keepalive_requests 1000000000;
  server_tokens off;
  ssl_protocols TLSv1.2 TLSv1.3;
  server {{
    listen 127.0.0.1:{self.plain};
    listen 127.0.0.1:{self.tls} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    location /c/ {{ return 302 https://advertiser-0.example/?c=EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPL; }}
    location /o/ {{ empty_gif; }}
  }}
}}
""")
        self.child = scratch.spawn([tool("nginx"), "-p", str(scratch.dir), "-c", str(file)], "nginx.log")
        wait_port(self.plain)

    def pids(self):
        return descendants(self.child.pid)
