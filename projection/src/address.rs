//! Where Redis is, as its URL says: stand-alone, behind Sentinels, or a Cluster; with or without TLS and a user.
//!
//! ```text
//! redis[s][+sentinel|+cluster]://[user[:password]@]host[:port][,host[:port]…][/database | /master]
//! ```

use std::fmt;

/// Redis's port, where the URL names none.
const PORT: u16 = 6379;
/// The Sentinels' port.
const SENTINEL_PORT: u16 = 26379;

/// What a URL says. Its `Debug` leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) kind: Kind,
    /// Redis, or the Sentinels, or some nodes of the Cluster; at least one.
    pub(crate) hosts: Vec<Host>,
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// How Redis is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One server, and the number of a database in it.
    Standalone { database: i64 },
    /// A master that Sentinels know by this name.
    Sentinel { master: String },
    /// A Cluster.
    Cluster,
}

/// One host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("kind", &self.kind)
            .field("hosts", &self.hosts)
            .field("tls", &self.tls)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Address {
    /// Reads a URL. Err: all that is wrong with it, without the password.
    pub(crate) fn parse(url: &str) -> Result<Self, Vec<String>> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(vec!["is not a URL such as redis://localhost:6379".to_owned()]);
        };
        let mut faults = Vec::new();
        if rest.split_once('/').is_some_and(|(_, path)| path.contains('@')) {
            // What would be told of the rest may be the password.
            return Err(vec![
                "has an @ after the first /: in a user or password, write / as %2F".to_owned(),
            ]);
        }
        let (base, setup) = scheme.split_once('+').map_or((scheme, None), |(b, s)| (b, Some(s)));
        let tls = base == "rediss";
        if !matches!(base, "redis" | "rediss") || !matches!(setup, None | Some("sentinel" | "cluster")) {
            faults.push(format!(
                "begins with {scheme}://; known are redis://, redis+sentinel://, redis+cluster://, and the same with rediss for TLS"
            ));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(l, h)| (Some(l), h));
        let (user, password) = login.map_or((None, None), |login| {
            let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
            let mut text = |what, text: &str| {
                decoded(text).unwrap_or_else(|| {
                    faults.push(format!(
                        "{what} has a % that is not followed by two hex digits of UTF-8"
                    ));
                    String::new()
                })
            };
            (
                (!user.is_empty()).then(|| text("the user", user)),
                password.map(|password| text("the password", password)),
            )
        });
        let port = if setup == Some("sentinel") { SENTINEL_PORT } else { PORT };
        let mut read = |text| Host::parse(text, port).map_err(|fault| faults.push(fault)).ok();
        let hosts: Vec<_> = hosts.split(',').filter_map(&mut read).collect();
        if setup.is_none() && hosts.len() > 1 {
            faults.push("names several hosts: say redis+cluster:// or redis+sentinel://".to_owned());
        }
        let kind = match setup {
            Some("sentinel") => {
                if path.is_empty() {
                    faults.push("names no master: redis+sentinel://host:26379/master-name".to_owned());
                }
                Kind::Sentinel {
                    master: path.to_owned(),
                }
            }
            Some("cluster") => {
                if !matches!(path, "" | "0") {
                    faults.push("names a database: a Cluster has only one".to_owned());
                }
                Kind::Cluster
            }
            _ => Kind::Standalone {
                database: match path {
                    "" => 0,
                    number => number.parse().ok().filter(|number| *number >= 0).unwrap_or_else(|| {
                        faults.push(format!("the database `{number}` is not a number"));
                        0
                    }),
                },
            },
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            kind,
            hosts,
            tls,
            user,
            password,
        })
    }
}

impl Host {
    fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => rest
                .split_once(']')
                .ok_or_else(|| format!("the host `{text}` has no closing bracket"))?,
            None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
        };
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '%')) {
            return Err(format!("`{text}` is not a host"));
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => default_port,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| format!("the port of `{text}` is not 1 to 65535"))?,
            None => return Err(format!("`{text}` is not a host and a port")),
        };
        Ok(Self {
            name: name.to_owned(),
            port,
        })
    }
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.extend(data_encoding::HEXUPPER_PERMISSIVE.decode(digits).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host {
            name: name.to_owned(),
            port,
        }
    }

    #[test]
    fn each_set_up_has_its_url() {
        let plain = Address::parse("redis://cache").expect("valid");
        assert_eq!(plain.kind, Kind::Standalone { database: 0 });
        assert_eq!((plain.hosts, plain.tls), (vec![host("cache", 6379)], false));
        let tls = Address::parse("rediss://mail:p%40ss%2fword@[::1]:7000/3").expect("valid");
        assert_eq!(tls.kind, Kind::Standalone { database: 3 });
        assert_eq!(
            (tls.user.as_deref(), tls.password.as_deref()),
            (Some("mail"), Some("p@ss/word"))
        );
        assert_eq!((tls.hosts, tls.tls), (vec![host("::1", 7000)], true));
        let sentinel = Address::parse("redis+sentinel://:secret@a,b:5000/mymaster").expect("valid");
        assert_eq!(
            sentinel.kind,
            Kind::Sentinel {
                master: "mymaster".to_owned()
            }
        );
        assert_eq!(sentinel.hosts, [host("a", 26379), host("b", 5000)]);
        assert_eq!((sentinel.user, sentinel.password.as_deref()), (None, Some("secret")));
        let cluster = Address::parse("rediss+cluster://a:1,b:2,c:3").expect("valid");
        assert_eq!((cluster.kind, cluster.hosts.len()), (Kind::Cluster, 3));
    }

    #[test]
    fn every_fault_is_told_and_no_password_with_it() {
        let check = |url: &str, count: usize| {
            let faults = Address::parse(url).expect_err(url);
            assert_eq!(faults.len(), count, "{url}: {faults:?}");
            assert!(!faults.concat().contains("hunter2"), "{faults:?}");
        };
        check("localhost:6379", 1);
        check("http://u:hunter2@localhost", 1);
        check("redis+raft://localhost", 1);
        check("redis://:hunter2/hunter2@localhost", 1);
        check("redis://", 1);
        check("redis://a,b", 1);
        check("redis://a:0", 1);
        check("redis://a:70000/x", 2);
        check("redis://u:hunter2%zz@a", 1);
        check("redis+sentinel://a", 1);
        check("redis+cluster://a,:7,b/1", 2);
        check("redis://[::1", 1);
        check("redis://[::1]x", 1);
    }

    #[test]
    fn the_password_is_not_shown() {
        let address = Address::parse("redis://u:hunter2@a").expect("valid");
        assert!(!format!("{address:?}").contains("hunter2"));
    }
}
