//! Which cryptography TLS uses in this process: ring, for clients and servers alike.

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

/// Lets every user of rustls in this process, an HTTP client for example, compute by ring. Call it before the first one
/// is made; the first call counts.
pub fn use_ring() {
    if CryptoProvider::get_default().is_none() {
        // Another thread was faster: then it is there as well.
        let _ = ring::default_provider().install_default();
    }
}
