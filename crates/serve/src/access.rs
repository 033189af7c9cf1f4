//! The clients that are admitted: by a token, and by the page that they come from.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{fs, io};

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use seg_contract::Sha256;
use thiserror::Error;

use crate::error::ApiError;

/// The least number of characters of a token.
const TOKEN_LENGTH_MIN: usize = 16;

/// The clients that are admitted.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The token that each request must have.
    pub token: Option<Token>,
    /// True if an address that others reach is listened on without a token.
    pub no_auth: bool,
    /// The origins of pages elsewhere that may ask and read the answers; `*` for all.
    pub origins: Vec<String>,
}

/// A token, of which only the hash is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    sha256: String,
}

/// An error in the rules of access.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The token's file cannot be read.
    #[error("cannot read the token `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The token could be guessed, or cannot stand in a header.
    #[error(
        "the token in `{path}` has {length} characters, expected {TOKEN_LENGTH_MIN} or more visible ones without spaces; make \
         one with `openssl rand -hex 32`"
    )]
    Token {
        /// The file.
        path: PathBuf,
        /// The number of characters.
        length: usize,
    },
    /// Others could reach the server.
    #[error(
        "`--listen {address}` lets other machines in; name a token by `--token-file FILE`, or allow everyone by `--no-auth`"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
}

impl Token {
    /// Reads a token from a file; white space around it does not count.
    ///
    /// # Errors
    /// When the file cannot be read or its token is short.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        let text = fs::read_to_string(path).map_err(|source| AccessError::Read { path: path.into(), source })?;
        let token = text.trim();
        if token.len() < TOKEN_LENGTH_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AccessError::Token { path: path.into(), length: token.chars().count() });
        }
        Ok(Self::new(token))
    }

    fn new(token: &str) -> Self {
        Self { sha256: hash(token) }
    }

    /// Returns whether a text is the token. The time depends on neither of them: their hashes are
    /// compared, of which every byte counts.
    fn is(&self, text: &str) -> bool {
        let found = hash(text);
        let differences = self.sha256.bytes().zip(found.bytes()).map(|(a, b)| a ^ b);
        std::hint::black_box(differences.fold(0, |all, one| all | one)) == 0
    }
}

/// Returns the SHA-256 of a text.
fn hash(text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(text);
    hash.hex()
}

impl Access {
    /// Checks that nobody is let in by accident.
    ///
    /// # Errors
    /// When an address that other machines reach is listened on without a token and unasked.
    pub fn check(&self, address: SocketAddr) -> Result<(), AccessError> {
        if address.ip().is_loopback() || self.token.is_some() || self.no_auth {
            return Ok(());
        }
        Err(AccessError::Open { address })
    }

    /// Returns whether pages of this origin may ask.
    fn has_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == "*" || own == origin)
    }

    /// Checks a request's head. `local` is the address that it came in on; `is_public` holds for
    /// what needs no token: health, and the page's own files.
    ///
    /// # Errors
    /// When the token is missing or wrong, the request comes from another site's page, or its host
    /// is another name for this machine, as in DNS rebinding.
    pub(crate) fn admit(&self, headers: &HeaderMap, local: IpAddr, is_public: bool) -> Result<(), ApiError> {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if self.token.is_none() && local.is_loopback() && !is_local(host) {
            return Err(ApiError::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("the host `{host}` is not this machine; use localhost or 127.0.0.1"),
            ));
        }
        if let Some(origin) = text(ORIGIN.as_str()) {
            let own = origin.split_once("://").map(|(_, authority)| authority);
            if own != Some(host) && !self.has_origin(origin) {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    format!("a page of `{origin}` may not use this server; start it with `--cors-origin {origin}`"),
                ));
            }
        } else if text("sec-fetch-site") == Some("cross-site") && text("sec-fetch-mode") != Some("navigate") {
            return Err(ApiError::new(StatusCode::FORBIDDEN, "a page of another site may not use this server"));
        }
        let Some(token) = self.token.as_ref().filter(|_| !is_public) else { return Ok(()) };
        let given = text(AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, given) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(given.trim())
        });
        match given {
            Some(given) if token.is(given) => Ok(()),
            Some(_) => Err(ApiError::new(StatusCode::UNAUTHORIZED, "the token is wrong")),
            None => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "this server needs a token; send `Authorization: Bearer TOKEN`",
            )),
        }
    }
}

/// Returns whether a host is a name of this machine that no other machine can take.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_localhost = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    is_localhost || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(header).collect()
    }

    /// The name, the rules, the address, the headers, true for what needs no token, and the
    /// status of the refusal.
    type Row<'a> = (&'a str, &'a Access, IpAddr, &'a [(&'static str, &'a str)], bool, Option<u16>);

    #[test]
    fn who_comes_from_elsewhere_is_refused() {
        let (local, other) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let open = Access::default();
        let closed = Access { token: Some(Token::new("0123456789abcdef")), ..Access::default() };
        let listed = Access { origins: vec!["https://lab.example".into()], ..Access::default() };
        let rows: [Row<'_>; 18] = [
            ("this machine", &open, local, &[("host", "127.0.0.1:8000")], false, None),
            ("by name", &open, local, &[("host", "LocalHost:8000")], false, None),
            ("by the other version", &open, local, &[("host", "[::1]:8000")], false, None),
            ("rebound", &open, local, &[("host", "evil.example:8000")], false, Some(421)),
            ("no host", &open, local, &[], false, Some(421)),
            ("a name that begins alike", &open, local, &[("host", "127.0.0.1.evil.example")], false, Some(421)),
            ("by the network", &open, other, &[("host", "box.example")], false, None),
            (
                "its own page",
                &open,
                local,
                &[("host", "localhost:8000"), ("origin", "http://localhost:8000")],
                false,
                None,
            ),
            (
                "another page",
                &open,
                local,
                &[("host", "localhost"), ("origin", "https://evil.example")],
                false,
                Some(403),
            ),
            ("a page of a file", &open, local, &[("host", "localhost"), ("origin", "null")], false, Some(403)),
            (
                "an image in a page",
                &open,
                local,
                &[("host", "localhost"), ("sec-fetch-site", "cross-site")],
                false,
                Some(403),
            ),
            (
                "a link",
                &open,
                local,
                &[("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
                true,
                None,
            ),
            ("a listed page", &listed, local, &[("host", "localhost"), ("origin", "https://lab.example")], false, None),
            ("no token", &closed, other, &[("host", "box")], false, Some(401)),
            ("health", &closed, other, &[("host", "box")], true, None),
            ("the token", &closed, other, &[("authorization", "bearer 0123456789abcdef")], false, None),
            ("a longer one", &closed, other, &[("authorization", "Bearer 0123456789abcdef0")], false, Some(401)),
            ("another scheme", &closed, other, &[("authorization", "Basic 0123456789abcdef")], false, Some(401)),
        ];
        for (name, access, address, pairs, is_public, expected) in rows {
            let found = access.admit(&headers(pairs), address, is_public).err();
            assert_eq!(found.map(|error| error.status().as_u16()), expected, "{name}");
        }
    }

    #[test]
    fn no_address_is_opened_by_accident() {
        let token = Some(Token::new("0123456789abcdef"));
        for (name, access, address, is_taken) in [
            ("this machine", Access::default(), "127.0.0.1:8000", true),
            ("this machine, version 6", Access::default(), "[::1]:8000", true),
            ("all", Access::default(), "0.0.0.0:8000", false),
            ("all, version 6", Access::default(), "[::]:8000", false),
            ("all, with a token", Access { token, ..Access::default() }, "0.0.0.0:8000", true),
            ("all, asked for", Access { no_auth: true, ..Access::default() }, "0.0.0.0:8000", true),
        ] {
            assert_eq!(access.check(address.parse().unwrap()).is_ok(), is_taken, "{name}");
        }
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (name, content, is_taken) in [
            ("a good one", "0123456789abcdef0123456789abcdef\n", true),
            ("short", "0123456789abcde", false),
            ("empty", "", false),
            ("two words", "0123456789abcdef 0123456789abcdef", false),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(Token::read(&path).is_ok(), is_taken, "{name}");
        }
        assert!(matches!(Token::read(&folder.path().join("absent")), Err(AccessError::Read { .. })));
    }
}
