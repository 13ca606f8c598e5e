fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = vca::config::load(None).map_err(|f| anyhow::anyhow!("{f:?}"))?;
    vca::logging::start(&config.log);
    let metrics = vca::admin::install_metrics()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(vca::daemon::run(config, metrics))
}
