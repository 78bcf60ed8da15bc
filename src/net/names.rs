//! What names resolve to: those that the client calls, and those in a caller's addresses, where a server inside the operator's
//! network is to fetch them. A lookup blocks a thread of those that searches need, for many seconds where the name server is dead:
//! few run at once.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::public::is_public;

/// All names of one request together.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lookups that run at once, of all requests.
static FREE: Semaphore = Semaphore::const_new(4);

/// Lookups of the client's own that run at once, for all its calls.
static CALLS: Semaphore = Semaphore::const_new(64);

/// How the client knows names: as the operating system does.
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = on_thread(&CALLS, move || (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>));
            Ok(Box::new(found.await?.into_iter()) as Addrs)
        })
    }
}

/// Says which addresses a name has.
pub(super) type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;

/// As the operating system knows names.
pub(super) fn system(name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
    on_thread(&FREE, move || Ok((name, 0).to_socket_addrs()?.map(|socket| socket.ip()).collect())).boxed()
}

/// Does what blocks on a thread for such things, of which it holds no more than are free. Work that nobody waits for any more
/// cannot be stopped: it keeps its place until it is done.
async fn on_thread<T: Send + 'static>(
    free: &'static Semaphore,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = free.acquire().await.map_err(io::Error::other)?;
    let work = move || {
        let _place = place;
        work()
    };
    spawn_blocking(work).await.map_err(io::Error::other)?
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

    #[tokio::test]
    async fn a_lookup_that_nobody_waits_for_keeps_its_place_until_it_is_done() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let soon = || Instant::now() + Duration::from_millis(50);
        let slow = on_thread(&ONE, move || Ok(ended.recv().is_ok()));
        timeout_at(soon(), slow).await.unwrap_err();
        timeout_at(soon(), on_thread(&ONE, || Ok(()))).await.unwrap_err();
        end.send(()).unwrap();
        on_thread(&ONE, || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn the_client_looks_up_few_names_at_once() {
        let look = || Resolver.resolve("localhost".parse().unwrap());
        let all = CALLS.acquire_many(64).await.unwrap();
        assert!(timeout_at(Instant::now() + Duration::from_millis(50), look()).await.is_err());
        drop(all);
        assert!(look().await.unwrap().any(|found| found.ip().is_loopback()));
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
