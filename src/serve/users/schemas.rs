//! What goes in and out of the routes of users, for their description; the routes themselves read and write fields.
#![allow(dead_code, reason = "these types are described and not made")]

use utoipa::ToSchema;

/// Who wants to become a user.
#[derive(ToSchema)]
pub struct NewUserBody {
    #[schema(min_length = 1, max_length = 255)]
    username: String,
    #[schema(max_length = 254, format = IdnEmail)]
    email: String,
    /// At least 8 characters, one of them an ASCII upper-case letter, one a digit, and one of `!@#$%^&*(),.?":{}|<>`.
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
}

/// What a user may do.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Reads what is theirs.
    Reader,
    /// Reads and writes what is theirs.
    Writer,
    /// That, and administers users and the master key.
    Admin,
}

/// Whom an administrator makes a user.
#[derive(ToSchema)]
pub struct NewUserOfRole {
    #[schema(min_length = 1, max_length = 255)]
    username: String,
    #[schema(max_length = 254, format = IdnEmail)]
    email: String,
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    /// `writer` if nothing is said.
    role: Option<RoleName>,
}

/// A name and a password.
#[derive(ToSchema)]
pub struct Credentials {
    username: String,
    password: String,
}

/// A user's name.
#[derive(ToSchema)]
pub struct Username {
    username: String,
}

/// A user's name and a code.
#[derive(ToSchema)]
pub struct OneTimeCode {
    username: String,
    /// Six digits, or a recovery code.
    otp: String,
}

/// A code.
#[derive(ToSchema)]
pub struct CodeOnly {
    otp: String,
}

/// What proves the user who asks once more.
#[derive(ToSchema)]
pub struct ConfirmedPassword {
    password: String,
    /// Where the second factor is on: a code.
    otp: Option<String>,
}

/// A password, and the one that is to take its place.
#[derive(ToSchema)]
pub struct NewPasswords {
    current_password: String,
    #[schema(min_length = 8, max_length = 1024)]
    new_password: String,
    /// Where the second factor is on: a code.
    otp: Option<String>,
}

/// A session: `Authorization: Bearer …`.
#[derive(ToSchema)]
pub struct SessionToken {
    access_token: String,
    token_type: String,
}

/// A session, or that a code is wanted.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum SignInAnswer {
    /// A session.
    Session(SessionToken),
    /// A code completes the sign-in.
    CodeWanted {
        /// `2FA required`
        message: String,
        /// Of whom.
        username: String,
    },
}

/// What an authenticator app needs.
#[derive(ToSchema)]
pub struct AppSecret {
    /// `otpauth://totp/…`
    uri: String,
    /// The same secret in base32, to be typed.
    secret: String,
    /// The URI as a QR code: a picture in SVG; null if it is too long for one.
    #[schema(required = true)]
    qr: Option<String>,
}

/// Codes for who has lost what makes them; each counts once.
#[derive(ToSchema)]
pub struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// What is known of a user.
#[derive(ToSchema)]
pub struct Account {
    username: String,
    /// Empty if they have none.
    email: String,
    role: RoleName,
    #[schema(format = DateTime)]
    created_at: String,
    second_factor: bool,
    authenticator_app: bool,
    #[schema(minimum = 0)]
    recovery_codes_left: u32,
}

/// What is known of a user, for an administrator.
#[derive(ToSchema)]
pub struct UserView {
    username: String,
    /// Empty if they have none.
    email: String,
    role: RoleName,
    #[schema(format = DateTime)]
    created_at: String,
    second_factor: bool,
    authenticator_app: bool,
    #[schema(minimum = 0)]
    recovery_codes_left: u32,
    disabled: bool,
    /// For how many seconds nobody is heard under this name.
    #[schema(minimum = 0)]
    locked_for: u64,
    #[schema(required = true, format = DateTime)]
    last_sign_in_at: Option<String>,
}

/// What an administrator changes of a user.
#[derive(ToSchema)]
pub struct UserChange {
    role: Option<RoleName>,
    disabled: Option<bool>,
    /// Ends a lock after too many failed attempts.
    unlock: Option<bool>,
}

/// Something that is to be kept.
#[derive(ToSchema)]
pub struct NewSensitiveData {
    /// What it is. A `card_number` has 16 digits.
    #[schema(min_length = 1, max_length = 63)]
    data_type: String,
    #[schema(max_length = 65536)]
    value: String,
}

/// Something that is kept.
#[derive(ToSchema)]
pub struct SensitiveData {
    id: String,
    data_type: String,
    value: String,
}

/// Something that is kept, and when it was made.
#[derive(ToSchema)]
pub struct ExportedData {
    id: String,
    data_type: String,
    value: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Everything that is kept of a user and for them.
#[derive(ToSchema)]
pub struct AccountExport {
    account: Account,
    sensitive_data: Vec<ExportedData>,
}
