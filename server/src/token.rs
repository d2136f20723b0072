//! Bearer tokens: JWTs with HMAC-SHA256 and nothing else.
//!
//! The format is checked here rather than by a JWT library, because everything that such a library decides
//! is fixed: there is one algorithm and one key, and nothing in the header chooses anything. A header that
//! says something else is refused before the signature is looked at, the claims are read after it.

use data_encoding::BASE64URL_NOPAD;
use fieldsync::value::hash_bytes;
use serde::{Deserialize, Serialize};

use crate::key::{MacKey, ServerKey};

/// Who issues tokens.
const ISSUER: &str = "fieldsync";
/// For what.
const AUDIENCE: &str = "fieldsync-sync";
/// How far the clocks of issuer and server may differ.
const LEEWAY_SECONDS: u64 = 60;
/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 4_096;

/// Roles in one token.
const ROLES_MAX: usize = 16;
/// Bytes of a role.
const ROLE_BYTES_MAX: usize = 64;
/// The role that sees and resolves the conflicts of everybody in the tenant.
pub const COORDINATOR: &str = "coordinator";

/// Who a verified token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The tenant.
    pub tenant: String,
    /// The user.
    pub user: String,
    /// What the user may do beside keeping data of his own. Names that mean nothing here are kept for others.
    pub roles: Vec<String>,
}

impl Identity {
    /// A user of a tenant without any role.
    pub fn new(tenant: impl Into<String>, user: impl Into<String>) -> Self {
        Self { tenant: tenant.into(), user: user.into(), roles: Vec::new() }
    }
    /// Whether the user decides for the whole tenant.
    pub fn is_coordinator(&self) -> bool {
        self.roles.iter().any(|role| role == COORDINATOR)
    }
    /// The tenant as the log tells it from others, without naming it.
    pub fn tenant_mark(&self) -> String {
        hash_bytes(self.tenant.as_bytes()).as_str().chars().take(8).collect()
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// Extensions that must be understood: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    tenant: String,
    iat: u64,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    iss: String,
    aud: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

/// A token that proves nothing. Which check it failed is told to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct TokenError;

/// Issues and checks tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    key: MacKey,
}

impl Tokens {
    /// With the server's key.
    pub fn new(key: &ServerKey) -> Self {
        Self { key: key.for_tokens() }
    }

    /// A token for a user of a tenant.
    pub fn issue(&self, identity: &Identity, now_ms: u64, minutes: u64) -> String {
        let now = now_ms / 1_000;
        let header = Header { alg: "HS256".to_owned(), typ: Some("JWT".to_owned()), crit: None };
        let claims = Claims {
            sub: identity.user.clone(),
            tenant: identity.tenant.clone(),
            iat: now,
            exp: now.saturating_add(minutes.saturating_mul(60)),
            nbf: None,
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            roles: identity.roles.clone(),
        };
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = BASE64URL_NOPAD.encode(&self.key.sign(&[signed.as_bytes()]));
        format!("{signed}.{signature}")
    }

    /// Who the token speaks for.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError)?;
        let header: Header = read(header)?;
        if header.alg != "HS256" || header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) || header.crit.is_some() {
            return Err(TokenError);
        }
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| TokenError)?;
        if !self.key.verify(&[signed.as_bytes()], &signature) {
            return Err(TokenError);
        }
        let claims: Claims = read(claims)?;
        let now = now_ms / 1_000;
        let in_time = now < claims.exp.saturating_add(LEEWAY_SECONDS)
            && claims.iat <= now.saturating_add(LEEWAY_SECONDS)
            && claims.nbf.is_none_or(|from| from <= now.saturating_add(LEEWAY_SECONDS));
        let named = |name: &str| !name.is_empty() && name.len() <= fieldsync::protocol::limits::NAME_BYTES_MAX;
        let roles = claims.roles.len() <= ROLES_MAX && claims.roles.iter().all(|role| (1..=ROLE_BYTES_MAX).contains(&role.len()));
        if claims.iss != ISSUER || claims.aud != AUDIENCE || !in_time || !named(&claims.sub) || !named(&claims.tenant) || !roles {
            return Err(TokenError);
        }
        Ok(Identity { tenant: claims.tenant, user: claims.sub, roles: claims.roles })
    }
}

fn part<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_vec(value).unwrap_or_else(|_| unreachable!("header and claims are JSON"));
    BASE64URL_NOPAD.encode(&text)
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, TokenError> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| TokenError)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn tokens() -> Tokens {
        Tokens::new(&ServerKey::parse(&"k".repeat(32)).expect("a key"))
    }

    fn anna() -> Identity {
        Identity::new("north", "anna")
    }

    fn signed(header: &serde_json::Value, claims: &serde_json::Value) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = BASE64URL_NOPAD.encode(&tokens().key.sign(&[signed.as_bytes()]));
        format!("{signed}.{signature}")
    }

    fn claims() -> serde_json::Value {
        let now = NOW_MS / 1_000;
        json!({"sub": "anna", "tenant": "north", "iat": now, "exp": now + 60, "iss": ISSUER, "aud": AUDIENCE})
    }

    #[test]
    fn a_token_speaks_for_its_user_until_it_expires() {
        let token = tokens().issue(&anna(), NOW_MS, 10);
        assert_eq!(tokens().verify(&token, NOW_MS), Ok(anna()));
        let end = NOW_MS + 10 * 60_000 + LEEWAY_SECONDS * 1_000;
        assert_eq!(tokens().verify(&token, end - 1), Ok(anna()));
        assert_eq!(tokens().verify(&token, end), Err(TokenError));
        assert_eq!(tokens().verify(&token, NOW_MS - LEEWAY_SECONDS * 1_000), Ok(anna()));
        assert_eq!(tokens().verify(&token, NOW_MS - (LEEWAY_SECONDS + 1) * 1_000), Err(TokenError));
    }

    #[test]
    fn roles_come_from_the_token_and_one_of_them_means_something() {
        let given = |roles: Vec<String>| {
            let mut claims = claims();
            claims["roles"] = json!(roles);
            tokens().verify(&signed(&json!({"alg": "HS256"}), &claims), NOW_MS).map(|identity| (identity.is_coordinator(), identity.roles))
        };
        assert_eq!(given(Vec::new()), Ok((false, Vec::new())));
        let others = vec!["x".repeat(64); 15];
        assert_eq!(given(others.clone()), Ok((false, others.clone())));
        let all = [others, vec!["coordinator".to_owned()]].concat();
        assert_eq!(given(all.clone()), Ok((true, all.clone())));
        let coordinator = Identity { roles: all, ..anna() };
        assert_eq!(tokens().verify(&tokens().issue(&coordinator, NOW_MS, 10), NOW_MS), Ok(coordinator));
    }

    #[test]
    fn nothing_in_the_header_chooses_anything() {
        let fine = json!({"alg": "HS256", "typ": "JWT"});
        assert_eq!(tokens().verify(&signed(&fine, &claims()), NOW_MS), Ok(anna()));
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "None"}),
            json!({"alg": "HS512"}),
            json!({"alg": "RS256", "jwk": {}}),
            json!({"typ": "JWT"}),
            json!({"alg": "HS256", "typ": "at+jwt"}),
            json!({"alg": "HS256", "crit": ["exp"]}),
        ] {
            assert_eq!(tokens().verify(&signed(&header, &claims()), NOW_MS), Err(TokenError), "{header}");
        }
        let unsigned = format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims()));
        assert_eq!(tokens().verify(&unsigned, NOW_MS), Err(TokenError));
    }

    #[test]
    fn every_claim_is_checked() {
        for (claim, value) in [
            ("sub", json!("")),
            ("tenant", json!(7)),
            ("tenant", json!("x".repeat(257))),
            ("iss", json!("other")),
            ("aud", json!("fieldsync-admin")),
            ("aud", json!(["fieldsync-sync"])),
            ("nbf", json!(NOW_MS / 1_000 + LEEWAY_SECONDS + 1)),
            ("exp", json!(null)),
            ("roles", json!("coordinator")),
            ("roles", json!(["coordinator", 7])),
            ("roles", json!(["coordinator", ""])),
            ("roles", json!(["x".repeat(65)])),
            ("roles", json!(vec!["x"; 17])),
        ] {
            let mut claims = claims();
            claims[claim] = value;
            assert_eq!(tokens().verify(&signed(&json!({"alg": "HS256"}), &claims), NOW_MS), Err(TokenError), "{claim}");
        }
    }

    #[test]
    fn a_token_of_another_key_or_with_one_changed_character_is_refused() {
        let other = Tokens::new(&ServerKey::parse(&"o".repeat(32)).expect("a key"));
        assert_eq!(tokens().verify(&other.issue(&anna(), NOW_MS, 10), NOW_MS), Err(TokenError));
        let token = tokens().issue(&anna(), NOW_MS, 10);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("still text");
            assert_eq!(tokens().verify(&changed, NOW_MS), Err(TokenError), "character {at}");
        }
        for text in ["", ".", "..", "a.b", "a.b.c.d", "é.é.é"] {
            assert_eq!(tokens().verify(text, NOW_MS), Err(TokenError), "{text}");
        }
        assert_eq!(tokens().verify(&"a".repeat(TOKEN_BYTES_MAX + 1), NOW_MS), Err(TokenError));
    }
}
