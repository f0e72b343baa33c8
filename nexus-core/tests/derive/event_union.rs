use nexus_core::DomainEvent;

#[derive(DomainEvent)]
union Bits {
    integer: u32,
    float: f32,
}

fn main() {}
