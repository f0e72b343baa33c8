use order::import::{Lines, Purchase};

/// A file of purchases: every line is a purchase, or it is said why not.
pub fn imports(bytes: &[u8]) {
    let mut lines = Lines::new(bytes);
    while let Some(line) = lines.next_line().expect("memory can be read") {
        match Purchase::parse(line.number, line.text) {
            Ok(Some(purchase)) => {
                let id = purchase.order_id(1).expect("every purchase has an order");
                assert_eq!(id.to_string().parse(), Ok(id));
                let _ = (purchase.command_id(1, "place"), purchase.line());
            }
            Ok(None) => {}
            // It does not fill the screen.
            Err(error) => assert!((1..400).contains(&error.to_string().chars().count()), "{error}"),
        }
    }
}
