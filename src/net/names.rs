//! What the names in a caller's addresses resolve to, where a server inside the operator's network is to fetch them.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::guard::is_public;

/// All names of one request together.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says which addresses a name has.
pub(super) type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;

/// As the operating system knows names.
pub(super) fn system(name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
    lookup_host((name, 0)).map(|found| found.map(|found| found.map(|socket| socket.ip()).collect())).boxed()
}

/// Refuses names that do not lead outside: one after the other, so that a request never occupies more than one thread.
///
/// # Errors
/// Says which one. Whether it is not known, not known in time or leads inside is not said: that would be a map of the network.
pub(super) async fn check(lookup: Lookup, names: &[String], deadline: Instant) -> Result<(), String> {
    let until = deadline.min(Instant::now() + PATIENCE);
    for name in names {
        let found = timeout_at(until, lookup(name.clone())).await;
        let is_outside = matches!(found, Ok(Ok(found)) if !found.is_empty() && found.iter().all(|at| is_public(*at)));
        if !is_outside {
            return Err(format!("`{name}` does not resolve to public addresses"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small world. `slow` is never found.
    fn world(name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let addresses: &[&str] = match name.as_str() {
                "public.example" => &["8.8.8.8", "2606:4700::1111"],
                "10.0.0.1.nip.example" => &["10.0.0.1"],
                "metadata.example" => &["169.254.169.254"],
                "mapped.example" => &["::ffff:127.0.0.1"],
                "both.example" => &["8.8.8.8", "127.0.0.1"],
                "empty.example" => &[],
                "slow.example" => std::future::pending().await,
                _ => return Err(io::ErrorKind::NotFound.into()),
            };
            Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
        }
        .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn every_name_must_lead_outside_and_nowhere_else() {
        let check = async |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            super::check(world, &names, Instant::now() + Duration::from_secs(60)).await
        };
        assert_eq!(check(&[]).await, Ok(()));
        assert_eq!(check(&["public.example", "public.example"]).await, Ok(()));
        let inside = ["10.0.0.1.nip.example", "metadata.example", "mapped.example", "both.example"];
        for name in inside.into_iter().chain(["empty.example", "nowhere.example", "slow.example"]) {
            let expected = Err(format!("`{name}` does not resolve to public addresses"));
            assert_eq!(check(&["public.example", name]).await, expected, "the same text for all");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_names_past_the_deadline() {
        let began = Instant::now();
        let slow = ["slow.example".to_owned()];
        check(world, &slow, began + Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        check(world, &slow, began + Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }
}
