//! Where a request came from, truncated: as much as telling networks apart needs, and no person.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use minicbor::{Decode, Encode};

/// A truncated address: an IPv4 /24 or an IPv6 /48. Whole addresses are never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// The first three bytes of an IPv4 address.
    V4([u8; 3]),
    /// The first six bytes of an IPv6 address.
    V6([u8; 6]),
}

impl Network {
    /// Truncates an address; IPv4 in IPv6's clothes counts as IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                let octets = address.octets();
                Self::V6(*octets.first_chunk().expect("16 bytes hold 6"))
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4([a, b, c]) => write!(out, "{}/24", Ipv4Addr::new(a, b, c, 0)),
            Self::V6(prefix) => {
                let mut octets = [0; 16];
                octets.iter_mut().zip(prefix).for_each(|(to, from)| *to = from);
                write!(out, "{}/48", Ipv6Addr::from(octets))
            }
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl<C> Encode<C> for Network {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let bytes: &[u8] = match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        };
        encoder.bytes(bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Network {
    fn decode(decoder: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = decoder.bytes()?;
        let v4 = bytes.try_into().map(Self::V4);
        v4.or_else(|_| bytes.try_into().map(Self::V6))
            .map_err(|_| minicbor::decode::Error::message("a network has 3 or 6 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_what_tells_people_apart() {
        for (address, network) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ] {
            let network_of = Network::of(address.parse().expect("an address"));
            assert_eq!(network_of.to_string(), network);
            let bytes = minicbor::to_vec(network_of).expect("vectors take all");
            assert_eq!(minicbor::decode::<Network>(&bytes).expect("own bytes"), network_of);
        }
        assert!(minicbor::decode::<Network>(&[0x44, 1, 2, 3, 4]).is_err());
    }
}
