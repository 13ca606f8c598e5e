//! The HTTP API as its users meet it: over a socket, with keys, against SQLite and against PostgreSQL.

mod access;
mod agreement;
mod analysis;
mod analytics;
mod api_server;
mod audit;
mod calls;
mod clients;
mod deletion;
mod documented;
mod documents;
mod engines;
mod fake_provider;
mod feedback;
mod idempotency;
mod inbound;
mod inventory;
mod isolation;
mod keys;
mod live;
mod load;
mod numbers;
mod port;
mod pre_call;
mod profiles;
mod proxies;
mod registrations;
mod results_page;
mod robust;
mod routing;
mod slow_readers;
mod targets;
mod tenants;
mod tls;
mod tools;
mod usage;
mod webhooks;

/// Makes a test for each kind of database of each function that takes a [`api_server::ApiServer`].
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { crate::api::api_server::on_sqlite(super::$test).await })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { crate::api::api_server::on_postgres(super::$test).await })+
        }
    };
}
pub(crate) use on_both;
