//! The page's program. Compiled for the browser it starts the app; natively there is nothing to start.

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    println!("This program runs in a web view or a browser; start the window with: cargo xtask run");
}

#[cfg(target_arch = "wasm32")]
fn main() {
    athanor_ui::web::start();
}
