//! Documents of an S3 bucket, AWS or any service that speaks its protocol.
//!
//! The SDK is asynchronous and the builder is not: a small runtime lives in here and every call blocks its thread. An object is
//! asked for with the etag under which it was listed (`If-Match`), so that one which changed meanwhile is never half indexed.
//! Checksums are computed only where the protocol demands them: many S3 services refuse the newer default.

mod refusal;

use std::fmt;
use std::time::Duration;

use aws_config::ConfigLoader;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, ProvideCredentials as _, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedCredentialsProvider,
};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{EncodingType, Object};
use omni_retrieval::error::{Code, Error, Result};
use tokio::runtime::Runtime;

use self::refusal::Refusal;
use super::{Content, Entry, Ignored, Listing, Options, Reason, is_ours_by_name};
use crate::cause::innermost;
use crate::metadata;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long to wait for the first byte of an answer, and for each further piece of an object.
const SILENCE: Duration = Duration::from_secs(30);
/// How long one call may take with all its attempts, the object's bytes not counted.
const CALL: Duration = Duration::from_secs(120);
/// How often a call, or the transfer of one object, is tried.
const ATTEMPTS: u32 = 4;

/// A bucket, or the part of it below a prefix.
pub(crate) struct S3 {
    runtime: Runtime,
    client: Client,
    credentials: Option<SharedCredentialsProvider>,
    bucket: String,
    /// A folder of keys or one key, without a slash at the end.
    prefix: String,
    place: Place,
    max_bytes: u64,
    downloads: usize,
}

/// What error texts say about where the bucket was looked for.
struct Place {
    /// The custom address, if there is one.
    endpoint: Option<String>,
    region: String,
}

impl S3 {
    /// Makes a client for `bucket`; the bucket itself is not asked yet.
    pub(super) fn open(bucket: &str, prefix: &str, options: &Options) -> Result<Self> {
        Self::open_with(aws_config::defaults(BehaviorVersion::v2026_01_12()), bucket, prefix, options)
    }

    /// As [`Self::open`], with the source of the AWS configuration in the caller's hand.
    fn open_with(loader: ConfigLoader, bucket: &str, prefix: &str, options: &Options) -> Result<Self> {
        if let Some(url) =
            options.endpoint_url.as_deref().filter(|url| !url.starts_with("http://") && !url.starts_with("https://"))
        {
            return Err(Error::bad_request(format!(
                "`--endpoint-url {url}`: not a web address; write `http://` or `https://` first"
            )));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|cause| Error::internal(format!("the runtime for S3 does not start: {cause}")))?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .operation_attempt_timeout(SILENCE)
            .operation_timeout(CALL)
            .build();
        let mut loader = loader.retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS)).timeout_config(timeouts);
        if let Some(region) = options.region.as_ref().filter(|region| !region.is_empty()) {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &options.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let shared = runtime.block_on(loader.load());
        // Without a region the SDK cannot even sign; S3 itself then answers with the bucket's true region.
        let region = shared.region().cloned().unwrap_or(Region::from_static("us-east-1"));
        let place = Place { endpoint: shared.endpoint_url().map(str::to_owned), region: region.to_string() };
        let config = Builder::from(&shared)
            .region(region)
            .force_path_style(options.path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Ok(Self {
            runtime,
            client: Client::from_conf(config),
            credentials: shared.credentials_provider(),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            place,
            max_bytes: options.max_bytes(),
            downloads: usize::from(options.downloads),
        })
    }

    /// How many objects are downloaded at once.
    pub(super) fn downloads(&self) -> usize {
        self.downloads
    }

    /// Lists the objects, in no certain order.
    pub(super) fn list(&self) -> Result<Listing> {
        self.runtime.block_on(async {
            self.check_credentials().await?;
            let mut listing = Listing::default();
            if self.prefix.is_empty() {
                self.list_below("", &mut listing).await?;
                return Ok(listing);
            }
            let found = self.list_below(&format!("{}/", self.prefix), &mut listing).await?;
            if found == 0 && self.list_one(&mut listing).await? {
                self.list_beside(&mut listing).await?;
            }
            Ok(listing)
        })
    }

    /// Reads one object, if it is still the one that was listed.
    pub(super) fn read(&self, entry: &Entry) -> Result<Result<Content, Reason>> {
        self.runtime.block_on(self.fetch(entry))
    }

    async fn fetch(&self, entry: &Entry) -> Result<Result<Content, Reason>> {
        let key = entry.key.to_string_lossy();
        let etag = Some(entry.stamp.clone()).filter(|etag| etag.starts_with('"'));
        let mut attempt = 1;
        loop {
            let request = self.client.get_object().bucket(&self.bucket).key(key.as_ref()).set_if_match(etag.clone());
            let output = match request.send().await {
                Ok(output) => output,
                Err(error) => {
                    let refusal = Refusal::of(&error);
                    return refusal
                        .reason()
                        .map_or_else(|| Err(refusal.explain(&entry.uri, &self.place)), |reason| Ok(Err(reason)));
                }
            };
            // Not every S3 service knows `If-Match`.
            if etag.is_some() && output.e_tag().is_some() && output.e_tag() != etag.as_deref() {
                return Ok(Err(Reason::Changed));
            }
            if let Some(encoding) = compression(output.content_encoding()) {
                let why = format!("stored with content encoding `{encoding}`; upload it uncompressed");
                return Ok(Err(Reason::Unreadable(why)));
            }
            let charset = charset(output.content_type());
            // The SDK tries calls again; a body that breaks off is ours to ask for again.
            match receive(output, entry.size).await {
                Ok(bytes) if bytes.len() as u64 == entry.size => return Ok(Ok(Content { bytes, charset })),
                Ok(_) => return Ok(Err(Reason::Changed)),
                Err(why) if attempt == ATTEMPTS => {
                    return Ok(Err(Reason::Unreadable(format!("{why}, {ATTEMPTS} times"))));
                }
                Err(_) => attempt += 1,
            }
        }
    }

    /// Lists what is below `folder`; says how many keys there are, ignored ones included.
    async fn list_below(&self, folder: &str, listing: &mut Listing) -> Result<usize> {
        let mut found = 0;
        let each = |key: &str, object: &Object| {
            found += 1;
            if let Some(below) = key.strip_prefix(folder) {
                self.push(listing, key, below, object);
            }
        };
        self.list_with(folder, each).await?;
        Ok(found)
    }

    /// Lists what is said of the one object whose key is the prefix.
    async fn list_beside(&self, listing: &mut Listing) -> Result<()> {
        let each = |key: &str, object: &Object| {
            if metadata::sidecar_of(key) == Some(&self.prefix) {
                self.push(listing, key, last_name(key), object);
            }
        };
        self.list_with(&format!("{}.", self.prefix), each).await
    }

    /// Goes through all objects whose keys begin so.
    async fn list_with(&self, beginning: &str, mut each: impl FnMut(&str, &Object)) -> Result<()> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(beginning).encoding_type(EncodingType::Url);
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.explain(Refusal::of(&error)))?;
            let encoded = page.encoding_type() == Some(&EncodingType::Url);
            page.contents().iter().for_each(|object| each(&key_of(object, encoded), object));
        }
        Ok(())
    }

    /// Lists the one object whose key is the prefix; says whether there is one.
    async fn list_one(&self, listing: &mut Listing) -> Result<bool> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(1);
        let page = request.encoding_type(EncodingType::Url).send().await.map_err(|error| self.explain(Refusal::of(&error)))?;
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        // Keys come in order, so the shortest with this beginning is the first.
        let one = page.contents().first().filter(|object| key_of(object, encoded) == self.prefix);
        if let Some(object) = one {
            self.push(listing, &self.prefix, last_name(&self.prefix), object);
        }
        Ok(one.is_some())
    }

    fn push(&self, listing: &mut Listing, key: &str, below: &str, object: &Object) {
        let size = u64::try_from(object.size().unwrap_or(0)).unwrap_or(0);
        if below.is_empty() {
            return;
        }
        let is_marker = || (below.ends_with('/') && size == 0).then_some(Ignored::Marker);
        let is_own = || is_ours_by_name(below.as_bytes()).then_some(Ignored::Own);
        let by_name = below.split('/').find_map(|name| Ignored::by_name(name.as_bytes()));
        if let Some(why) = by_name.or_else(is_marker).or_else(is_own) {
            listing.ignored.push((below.to_owned(), why));
            return;
        }
        if size > self.max_bytes {
            listing.skipped.push((below.to_owned(), Reason::TooLarge { bytes: size, max_bytes: self.max_bytes }));
            return;
        }
        let written = || object.last_modified().map_or(0, DateTime::as_nanos);
        listing.entries.push(Entry {
            uri: format!("s3://{}/{key}", self.bucket),
            source: below.to_owned(),
            size,
            stamp: object.e_tag().map_or_else(|| format!("{size}-{}", written()), str::to_owned),
            key: key.into(),
        });
    }

    /// Asks for credentials before anything is signed: the SDK's own error does not say what is missing.
    async fn check_credentials(&self) -> Result<()> {
        let Some(provider) = &self.credentials else { return Err(self.no_credentials("the AWS configuration has none")) };
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.no_credentials(&innermost(&error))),
        }
    }

    fn no_credentials(&self, why: &str) -> Error {
        let remedy = "set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or `AWS_PROFILE`, or run where a role is attached";
        Error::new(Code::Authentication, format!("`{self}`: no credentials ({why}); {remedy}"))
    }

    fn explain(&self, refusal: Refusal) -> Error {
        refusal.explain(&self.to_string(), &self.place)
    }
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Takes the bytes of an object, at most one more than `size`.
async fn receive(output: GetObjectOutput, size: u64) -> Result<Vec<u8>, String> {
    let mut body = output.body;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    loop {
        match tokio::time::timeout(SILENCE, body.next()).await {
            Ok(Some(Ok(piece))) => bytes.extend_from_slice(&piece),
            Ok(Some(Err(error))) => return Err(format!("the transfer broke off ({})", innermost(&error))),
            Ok(None) => return Ok(bytes),
            Err(_) => return Err(format!("nothing arrived for {} s", SILENCE.as_secs())),
        }
        if bytes.len() as u64 > size {
            return Ok(bytes);
        }
    }
}

/// What a key is called without its folders.
fn last_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// The key of a listed object. Services that honour `encoding-type=url` write it as in a form: `+` is a space.
fn key_of(object: &Object, encoded: bool) -> String {
    let key = object.key().unwrap_or_default();
    if !encoded {
        return key.to_owned();
    }
    percent_encoding::percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The compression of an object, if it has one; `aws-chunked` is a trace of the upload.
fn compression(encoding: Option<&str>) -> Option<&str> {
    encoding?.split(',').map(str::trim).find(|name| !matches!(*name, "" | "identity" | "aws-chunked"))
}

/// Character set of a `Content-Type`.
fn charset(header: Option<&str>) -> Option<String> {
    let mut parameters = header?.split(';').skip(1).filter_map(|part| part.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches('"').to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
