//! Where a bucket is, and the key that opens it.

use std::fmt;

use object_store::path::Path as ObjectPath;

use crate::step::Fault;

use super::client::{check_address, service};

/// A place in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketPlace {
    pub bucket: String,
    /// The beginning of all keys, without a slash at its end; empty for none.
    pub prefix: String,
    /// The URL of the service; empty for that of AWS.
    pub endpoint: String,
    /// The region; empty for that of the environment, or the usual one.
    pub region: String,
}

/// A key of a service with its secret, which is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketKey {
    pub id: String,
    pub secret: String,
}

const SCHEME: &str = "s3://";

/// Whether a text is the address of a bucket.
pub fn is_bucket(text: &str) -> bool {
    text.starts_with(SCHEME)
}

/// Says what is wrong with the URL of a service of buckets; an empty one is that of AWS.
pub fn check_endpoint(endpoint: &str) -> Result<(), String> {
    if endpoint.is_empty() { Ok(()) } else { check_address(endpoint) }
}

impl BucketPlace {
    /// Reads `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(address: &str, endpoint: &str, region: &str) -> Result<BucketPlace, Fault> {
        let wrong = |what: &str| {
            let reason = format!("bad store: {what} in {address:?}");
            Fault::new(reason, "Write `s3://BUCKET/PREFIX` in the dataflow file.")
        };
        let rest = address.strip_prefix(SCHEME).ok_or_else(|| wrong("there is no bucket"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        if bucket.is_empty() || !bucket.chars().all(is_name) {
            return Err(wrong("the bucket has no name that one can have"));
        }
        if prefix.starts_with('/') || ObjectPath::parse(prefix).is_err() {
            return Err(wrong("the prefix is no beginning of keys"));
        }
        check_endpoint(endpoint).map_err(|wrong| {
            let reason = format!("bad store: {endpoint:?} is no URL of a service: {wrong}");
            Fault::new(reason, "Write `endpoint: https://HOST:PORT` in the dataflow file.")
        })?;
        let [bucket, prefix, endpoint, region] = [bucket, prefix, endpoint, region].map(str::to_owned);
        Ok(BucketPlace { bucket, prefix, endpoint, region })
    }

    /// The service, for messages.
    pub fn service(&self) -> &str {
        if self.endpoint.is_empty() { "AWS" } else { service(&self.endpoint) }
    }
}

impl BucketKey {
    /// Reads `KEY:SECRET`.
    ///
    /// # Errors
    /// If it is none. What it is instead is not said.
    pub fn read(text: &[u8]) -> Result<BucketKey, Fault> {
        let parts = str::from_utf8(text).ok().and_then(|text| text.split_once(':'));
        match parts.filter(|(id, secret)| !id.is_empty() && !secret.is_empty()) {
            Some((id, secret)) => Ok(BucketKey { id: id.to_owned(), secret: secret.to_owned() }),
            None => {
                let remedy = "Write the key, a colon and its secret where `credentials` points to.";
                Err(Fault::new("bad credentials: they are not of the form KEY:SECRET", remedy))
            }
        }
    }
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "{SCHEME}{}{slash}{}", self.bucket, self.prefix)
    }
}

impl fmt::Debug for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_a_secret_is_not_shown() {
        let place = BucketPlace::read("s3://library/shelf/", "", "").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("library", "shelf"));
        for wrong in [
            "s3://",
            "s3:///shelf",
            "s3://a b/c",
            "s3://library/../x",
            "s3://library/a//b",
            "s3://library//a",
        ] {
            assert!(BucketPlace::read(wrong, "", "").is_err(), "{wrong}");
        }
        assert!(BucketPlace::read("s3://library", "s3.example.org", "").is_err());
        let key = BucketKey::read(b"reader:open:sesame").unwrap();
        assert_eq!((key.secret.as_str(), format!("{key:?}").as_str()), ("open:sesame", "the key reader"));
        let fault = BucketKey::read(b"open sesame").unwrap_err();
        assert!(!format!("{fault:?}").contains("sesame"));
    }
}
