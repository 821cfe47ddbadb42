//! Where a request comes from, as far as it can be believed.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use http::HeaderName;
use http::header::{ACCEPT_LANGUAGE, USER_AGENT};
use http::request::Parts;
use ipnet::{IpNet, Ipv6Net};

/// Device facts longer than this tell nothing more.
const LINE_CHARACTERS: usize = 200;

/// Whether a host name or address means this machine only: `localhost`, `127.0.0.1`, `[::1]`.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Where a request comes from: kept with the session, so that people recognise their devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, where the server knows it.
    pub address: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The languages its user reads, as `Accept-Language` says it.
    pub languages: Option<String>,
}

impl Origin {
    /// The network the address belongs to as far as limits are concerned: an IPv4 address itself, or the
    /// /64 of an IPv6 one, of which one person commonly has all.
    #[must_use]
    pub fn network(&self) -> Option<IpAddr> {
        self.address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Net::new(address, 64).map_or(Ipv6Addr::UNSPECIFIED, |net| net.network()))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// The reverse proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Reads addresses and networks.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        texts
            .iter()
            .map(|text| {
                text.parse::<IpNet>()
                    .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| text.clone())
            })
            .collect::<Result<Vec<_>, _>>()
            .map(|nets| Self(nets.into()))
    }

    /// Whether any of the networks is the whole of them.
    #[must_use]
    pub fn trust_everybody(&self) -> bool {
        self.0.iter().any(|net| net.prefix_len() == 0)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The nearest address that is not one of our proxies: what stands further left in the header was
    /// written by the client and can say anything.
    fn client(&self, peer: IpAddr, parts: &Parts) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let mut nearest = peer;
        let hops = parts.headers.get_all("x-forwarded-for").iter().rev();
        for hop in hops.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')) {
            // Bytes, since one hop that is no text must not hide the others from us.
            match std::str::from_utf8(hop).ok().and_then(address_of) {
                Some(address) => nearest = address,
                None => break,
            }
            if !self.trusts(nearest) {
                break;
            }
        }
        nearest
    }
}

/// Some proxies write the port too.
fn address_of(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    hop.parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
}

impl<S> FromRequestParts<S> for Origin
where
    TrustedProxies: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0.ip());
        Ok(Self {
            address: peer.map(|peer| TrustedProxies::from_ref(state).client(peer, parts).to_canonical()),
            user_agent: line(parts, &USER_AGENT),
            languages: line(parts, &ACCEPT_LANGUAGE),
        })
    }
}

/// What a header says, bounded.
fn line(parts: &Parts, name: &HeaderName) -> Option<String> {
    let value = parts.headers.get(name)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    Some(
        text.chars()
            .filter(|c| !c.is_control())
            .take(LINE_CHARACTERS)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies =
            TrustedProxies::parse(&proxies.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let mut request = http::Request::new(());
        for value in forwarded {
            request
                .headers_mut()
                .append("x-forwarded-for", value.parse().unwrap());
        }
        proxies
            .client(peer.parse().unwrap(), &request.into_parts().0)
            .to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_an_address() {
        assert_eq!(client(&[], "192.0.2.1", &["10.0.0.1"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["10.0.0.1"]), "192.0.2.1");
        assert_eq!(
            client(&["10.0.0.0/8"], "10.0.0.9", &["1.1.1.1, 192.0.2.1"]),
            "192.0.2.1"
        );
        assert_eq!(
            client(&["10.0.0.0/8"], "10.0.0.9", &["1.1.1.1", "192.0.2.1, 10.0.0.2"]),
            "192.0.2.1"
        );
        assert_eq!(client(&["10.0.0.9"], "10.0.0.9", &["nonsense"]), "10.0.0.9");
        assert_eq!(client(&["10.0.0.9"], "10.0.0.9", &[]), "10.0.0.9");
        assert_eq!(
            client(&["10.0.0.9"], "10.0.0.9", &["192.0.2.1:5678"]),
            "192.0.2.1"
        );
        assert_eq!(
            client(&["10.0.0.9"], "10.0.0.9", &["[2001:db8::1]:5678"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hide_the_client() {
        let proxies = TrustedProxies::parse(&["10.0.0.9".to_owned()]).unwrap();
        let mut request = http::Request::new(());
        request.headers_mut().append(
            "x-forwarded-for",
            http::HeaderValue::from_bytes(b"\xff, 192.0.2.1").unwrap(),
        );
        let seen = proxies.client("10.0.0.9".parse().unwrap(), &request.into_parts().0);
        assert_eq!(seen.to_string(), "192.0.2.1");
    }

    #[test]
    fn one_ipv6_network_counts_as_one() {
        let network = |text: &str| {
            Origin {
                address: text.parse().ok(),
                ..Origin::default()
            }
            .network()
            .unwrap()
            .to_string()
        };
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
