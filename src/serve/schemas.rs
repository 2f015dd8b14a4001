//! What goes in and out of the routes that other services had before, for their description; the routes themselves read and write fields.
#![allow(dead_code, reason = "these types are described and not made")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A configuration.
#[derive(ToSchema)]
pub struct Configuration {
    /// Stays with it for as long as it lives.
    #[schema(minimum = 0)]
    id: u64,
    key: String,
    #[schema(required = true)]
    category: Option<String>,
    /// A text is a string, bytes are `{"encoding":"base64","data":…}`.
    #[schema(value_type = Value)]
    value: Value,
    environment: Option<String>,
    #[schema(format = DateTime)]
    created_at: Option<String>,
    #[schema(format = DateTime)]
    updated_at: Option<String>,
}

/// A configuration that is to be made.
#[derive(ToSchema)]
pub struct NewConfiguration {
    #[schema(min_length = 1, max_length = 255)]
    key: String,
    /// An object; anything with an environment, or with `?any=true`.
    #[schema(value_type = Value)]
    value: Value,
    #[schema(max_length = 100)]
    category: Option<String>,
    #[schema(min_length = 1, max_length = 100)]
    environment: Option<String>,
}

/// What becomes of a configuration.
#[derive(ToSchema)]
pub struct ConfigurationUpdate {
    /// An object; anything with an environment, or with `?any=true`.
    #[schema(value_type = Value)]
    value: Value,
    /// Absent or null keeps it; an empty text clears it.
    #[schema(max_length = 100)]
    category: Option<String>,
}

/// What was done.
#[derive(ToSchema)]
pub struct Message {
    message: String,
}

/// Configurations by numbers.
#[derive(ToSchema)]
pub struct Stats {
    total_keys: u64,
    total_categories: u64,
    total_environments: u64,
    keys_by_category: BTreeMap<String, u64>,
    keys_by_environment: BTreeMap<String, u64>,
}

/// The service.
#[derive(ToSchema)]
pub struct Service {
    service: String,
    version: String,
    features: Vec<String>,
    endpoints: BTreeMap<String, String>,
}

/// The process answers.
#[derive(ToSchema)]
pub struct Health {
    status: String,
}

/// Whether requests are answered.
#[derive(ToSchema)]
pub struct Ready {
    ready: bool,
    /// Only where it is so: the vault is read, and what is written fails.
    writable: Option<bool>,
    reason: Option<String>,
}

/// A secret that is to be kept.
#[derive(ToSchema)]
pub struct NewSecret {
    /// Base64 of the standard alphabet, padded.
    secret: String,
}

/// By what a secret is known.
#[derive(ToSchema)]
pub struct SecretId {
    #[schema(format = "uuid")]
    secret_id: String,
}

/// A secret.
#[derive(ToSchema)]
pub struct Secret {
    /// Base64 of the standard alphabet, padded.
    secret: String,
}

/// Whether the vault is open.
#[derive(ToSchema)]
pub struct SealStatus {
    sealed: bool,
    version: String,
}

/// Whether the vault is open.
#[derive(ToSchema)]
pub struct Sealed {
    sealed: bool,
}

/// What opens the vault: one of the two.
#[derive(ToSchema)]
pub struct UnsealKey {
    #[schema(min_length = 1, max_length = 1024)]
    passphrase: Option<String>,
    /// A raw key of 32 bytes in base64.
    #[schema(min_length = 1, max_length = 64)]
    key: Option<String>,
}

/// Problem details (RFC 9457).
#[derive(ToSchema)]
pub struct ProblemDetails {
    /// `urn:vault:error:` and the code.
    r#type: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What programs go by.
    code: String,
    /// What people read.
    detail: String,
    /// By what the logs know the request.
    request_id: String,
    /// All that is wrong with a request that is not well-formed.
    #[schema(required = false)]
    errors: Vec<FieldFault>,
}

/// What a request is refused with by the routes outside of `/v1`.
#[derive(ToSchema)]
pub struct Refusal {
    detail: RefusalDetail,
}

/// In words; or, for a request that is not well-formed, all that is wrong with it.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum RefusalDetail {
    /// In words.
    Text(String),
    /// Field by field.
    Faults(Vec<FieldFault>),
}

/// What is wrong with one field.
#[derive(ToSchema)]
pub struct FieldFault {
    r#type: String,
    loc: Vec<String>,
    msg: String,
}
