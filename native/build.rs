fn main() {
    // The engine's tests and fuzz targets are built without Node.
    if std::env::var_os("CARGO_FEATURE_NODE").is_some() {
        napi_build::setup();
    }
}
