//! Where a domain's mail goes (RFC 5321 §5.1, RFC 7505), asked of DNS by hickory-resolver.
//!
//! Look-ups are capped: an uncapped burst of cold ones overflows the socket's buffer and ends in timeouts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::sync::Semaphore;

use crate::queue::{DomainFault, Route, Target};
use crate::settings::{self, Settings};

/// The shortest and the longest time that a route is believed, whatever its TTL.
const TTL: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));
/// The most mail exchangers of one domain that are looked at, best preference first.
const EXCHANGERS_MAX: usize = 16;

/// Asks DNS.
#[derive(Debug)]
pub(crate) struct Resolver {
    dns: TokioResolver,
    places: Semaphore,
    routes: Vec<settings::Route>,
}

/// DNS cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[error("setting up DNS: {0}")]
pub struct ResolverError(#[from] NetError);

impl Resolver {
    pub(crate) fn new(settings: &Settings) -> Result<Self, ResolverError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = match settings.nameserver {
            Some(server) => {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                for connection in &mut config.connections {
                    connection.port = server.port();
                }
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
                TokioResolver::builder_with_config(config, provider)
            }
            None => TokioResolver::builder(provider)?,
        };
        configure(builder.options_mut());
        Ok(Self {
            dns: builder.build()?,
            places: Semaphore::new(settings.lookups_max),
            routes: settings.routes.clone(),
        })
    }

    /// Returns the route that the settings give a domain.
    pub(crate) fn fixed(&self, domain: &str) -> Option<Route> {
        let fits = |route: &&settings::Route| route.domain == "*" || route.domain == domain;
        self.routes.iter().find(fits).map(|route| Route {
            site: format!("{}:{}", route.host, route.port).into(),
            target: Target::Fixed(route.host.clone(), route.port),
            ttl: TTL.1,
        })
    }

    /// Asks where a domain's mail goes.
    pub(crate) async fn route(&self, domain: &str) -> Result<Route, DomainFault> {
        let name = name(domain)?;
        let _place = self.places.acquire().await;
        // A negative answer kept from before would make the second look-up say only what the first one did.
        match self.dns.lookup(name.clone(), RecordType::MX).await {
            Ok(answer) => {
                let ttl = ttl(answer.valid_until());
                let mut hosts: Vec<(u16, String)> = answer
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::MX(mx) => Some((mx.preference, host_name(&mx.exchange))),
                        _ => None,
                    })
                    .collect();
                if hosts.iter().any(|(_, host)| host.is_empty()) && hosts.len() == 1 {
                    return Err(DomainFault::NullMx);
                }
                hosts.retain(|(_, host)| !host.is_empty());
                if hosts.is_empty() {
                    return self.implicit(&name, domain).await;
                }
                hosts.sort();
                hosts.dedup_by(|a, b| a.1 == b.1);
                hosts.truncate(EXCHANGERS_MAX);
                let mut names: Vec<&str> = hosts.iter().map(|(_, host)| host.as_str()).collect();
                names.sort_unstable();
                Ok(Route {
                    site: names.join(",").into(),
                    target: Target::Exchangers(hosts.into()),
                    ttl,
                })
            }
            Err(error) if error.is_nx_domain() => {
                self.dns.clear_lookup_cache(name, RecordType::MX);
                Err(DomainFault::NoSuchDomain)
            }
            Err(error) if error.is_no_records_found() && is_answer(&error) => self.implicit(&name, domain).await,
            Err(error) => Err(DomainFault::Unanswered(error.to_string())),
        }
    }

    /// A domain without MX is its own exchanger if it has an address (RFC 5321 §5.1).
    async fn implicit(&self, name: &Name, domain: &str) -> Result<Route, DomainFault> {
        let mut missing = 0;
        let mut fault = None;
        for kind in [RecordType::A, RecordType::AAAA] {
            match self.dns.lookup(name.clone(), kind).await {
                Ok(answer) if answer.answers().iter().any(|record| record.record_type() == kind) => {
                    return Ok(Route {
                        site: domain.into(),
                        target: Target::Exchangers(Arc::from([(0, domain.to_owned())])),
                        ttl: ttl(answer.valid_until()),
                    });
                }
                Ok(_) => missing += 1,
                Err(error) if error.is_no_records_found() && is_answer(&error) => missing += 1,
                Err(error) => fault = Some(error.to_string()),
            }
        }
        self.dns.clear_lookup_cache(name.clone(), RecordType::MX);
        Err(match fault {
            None if missing == 2 => DomainFault::NoAddress,
            fault => DomainFault::Unanswered(fault.unwrap_or_default()),
        })
    }

    /// Returns the addresses of a host, IPv4 first, shuffled within each family by `random`.
    pub(crate) async fn addresses(&self, host: &str, port: u16, random: u32) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        if host == "localhost" {
            return Ok(vec![SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port)]);
        }
        let name = name(host).map_err(|fault| fault.text())?;
        let _place = self.places.acquire().await;
        let mut found = Vec::new();
        let mut fault = String::from("the host has no address");
        for kind in [RecordType::A, RecordType::AAAA] {
            match self.dns.lookup(name.clone(), kind).await {
                Ok(answer) => {
                    let start = found.len();
                    found.extend(answer.answers().iter().filter_map(|record| match &record.data {
                        RData::A(address) => Some(SocketAddr::new(address.0.into(), port)),
                        RData::AAAA(address) => Some(SocketAddr::new(address.0.into(), port)),
                        _ => None,
                    }));
                    let family = found.get_mut(start..).unwrap_or_default();
                    if !family.is_empty() {
                        let by = random as usize % family.len();
                        family.rotate_left(by);
                    }
                }
                Err(error) => fault = error.to_string(),
            }
        }
        if found.is_empty() { Err(fault) } else { Ok(found) }
    }
}

fn configure(options: &mut ResolverOpts) {
    options.timeout = Duration::from_secs(5);
    options.attempts = 2;
    options.cache_size = 8192;
    options.edns0 = true;
    // A name that does not exist must be asked again after its wait, not answered from memory.
    options.negative_max_ttl = Some(Duration::from_mins(5));
}

/// SERVFAIL and REFUSED are no answers, even where the library files them under "no records".
fn is_answer(error: &NetError) -> bool {
    use hickory_resolver::net::DnsError;
    use hickory_resolver::proto::op::ResponseCode;
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
        }
        _ => false,
    }
}

fn name(domain: &str) -> Result<Name, DomainFault> {
    let mut name = Name::from_ascii(domain).map_err(|_| DomainFault::NoSuchDomain)?;
    name.set_fqdn(true);
    Ok(name)
}

fn host_name(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn ttl(valid_until: Instant) -> Duration {
    valid_until
        .saturating_duration_since(tokio::time::Instant::now().into_std())
        .clamp(TTL.0, TTL.1)
}
