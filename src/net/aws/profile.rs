//! Keys of a profile in the file that AWS's own tools keep (`~/.aws/credentials`).

use super::no_keys;
use crate::config::{Aws, Secret};
use crate::error::Result;
use crate::net::sigv4::Credentials;

/// The keys of the profile that is named, else those of `default`, where the file has any.
///
/// # Errors
/// The one that is named has no keys there.
pub(super) fn keys(aws: &Aws) -> Result<Option<Credentials>> {
    let name = aws.profile.as_deref().unwrap_or("default");
    let text = aws.credentials_file.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let keys = of(name, &text);
    if keys.is_none() && aws.profile.is_some() {
        let path = aws.credentials_file.as_ref().map_or_else(|| "`~/.aws/credentials`".into(), |path| path.display().to_string());
        let remedy = format!("`aws configure export-credentials --profile {name} --format env` says what to set");
        return Err(no_keys(std::io::Error::other(format!("profile `{name}`: no keys in {path}; {remedy}"))));
    }
    Ok(keys)
}

fn of(name: &str, text: &str) -> Option<Credentials> {
    let (mut is_meant, mut id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            is_meant = section.split(']').next().is_some_and(|section| section.trim() == name);
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_meant) {
            let place = match key.trim() {
                "aws_access_key_id" => &mut id,
                "aws_secret_access_key" => &mut secret,
                "aws_session_token" => &mut token,
                _ => continue,
            };
            *place = Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    Some(Credentials {
        access_key_id: id?.to_owned(),
        secret_access_key: Secret::new(secret?),
        session_token: token.map(Secret::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_the_keys_of_its_section() {
        let text = "# mine\n[default]\naws_access_key_id = AKID1\naws_secret_access_key=s=1\n\n[ work ]\nregion = x\n\
                    aws_access_key_id=AKID2\naws_secret_access_key = s2\naws_session_token = t\n[sso]\nsso_session = x\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, text).unwrap();
        let read = |profile: Option<&str>| {
            keys(&Aws { profile: profile.map(str::to_owned), credentials_file: Some(path.clone()), ..Aws::default() })
        };
        let told = |keys: Credentials| {
            let token = keys.session_token.map(|token| token.expose().to_owned());
            (keys.access_key_id, keys.secret_access_key.expose().to_owned(), token)
        };
        assert_eq!(read(None).unwrap().map(told), Some(("AKID1".into(), "s=1".into(), None)));
        assert_eq!(read(Some("work")).unwrap().map(told), Some(("AKID2".into(), "s2".into(), Some("t".into()))));
        let cause = std::error::Error::source(&read(Some("sso")).unwrap_err()).unwrap().to_string();
        let remedy = "`aws configure export-credentials --profile sso --format env` says what to set";
        assert_eq!(cause, format!("profile `sso`: no keys in {}; {remedy}", path.display()));
        std::fs::remove_file(&path).unwrap();
        assert!(read(None).unwrap().is_none() && read(Some("work")).is_err(), "who names none may have none");
    }
}
