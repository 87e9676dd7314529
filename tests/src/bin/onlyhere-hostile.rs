//! `onlyhere-hostile`: the hostile side of `onlyhere-lab hostile`. It is for hosts of the lab alone.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use onlyhere_lab::hostile::{Honest, Shelf, attack, serve};

/// Hostile targets, a hostile name server and hostile probes, for the lab.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be every hostile target and their name server, on ports 53, 80 and 443
    Serve {
        /// A good certificate with its chain, PEM
        certificate: PathBuf,
        /// Its key, PEM
        key: PathBuf,
        /// Names that are answered honestly: NAME ADDRESS in each line
        names: PathBuf,
    },
    /// Be a hostile probe
    Probe {
        /// The behaviour
        name: String,
        /// The identity to use
        data_dir: PathBuf,
    },
}

/// A thread that is gone would be hostile no more, and nobody would see it.
fn end_with_any_thread() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::exit(70);
    }));
}

fn main() -> anyhow::Result<()> {
    end_with_any_thread();
    match Arguments::parse().command {
        Command::Serve {
            certificate,
            key,
            names,
        } => {
            Honest::read(&names)?.serve()?;
            serve(Shelf::open(&certificate, &key)?)?;
            println!("ready");
            loop {
                std::thread::park();
            }
        }
        Command::Probe { name, data_dir } => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .context("start the runtime")?;
            runtime.block_on(attack(&name, &data_dir))?;
            Ok(())
        }
    }
}
