//! Real programs, started in the hosts of the lab.

pub mod nftables;
