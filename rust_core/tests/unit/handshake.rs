use rust_core::handshake::accept_key;

#[test]
fn the_example_of_the_standard_is_reproduced() {
    let accept = accept_key("dGhlIHNhbXBsZSBub25jZQ==");

    assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn an_empty_key_has_an_accept_key_too() {
    assert_eq!(accept_key(""), "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=");
}
