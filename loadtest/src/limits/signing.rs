//! The processor's own limit: signatures with the library that the service signs with.

use std::time::{Duration, Instant};

use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Serialize;

/// How long each kind is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// Milliseconds of one core that a signature takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Signatures {
    pub(crate) rsa_2048: f64,
    pub(crate) ed25519: f64,
}

/// Signs a mail's worth of header bytes over and over, on one core.
pub(crate) fn signatures() -> anyhow::Result<Signatures> {
    let header = [0x61; 1024];
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).context("making an RSA key")?;
    let mut signature = vec![0; rsa.public_modulus_len()];
    let rsa_2048 = milliseconds(|| {
        rsa.sign(&RSA_PKCS1_SHA256, &random, &header, &mut signature)
            .context("signing")
    })?;
    let ed25519 = Ed25519KeyPair::generate().context("making an Ed25519 key")?;
    let ed25519 = milliseconds(|| {
        std::hint::black_box(ed25519.sign(&header));
        Ok(())
    })?;
    Ok(Signatures { rsa_2048, ed25519 })
}

fn milliseconds(mut sign: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < MEASURED {
        sign()?;
        count += 1;
    }
    Ok(started.elapsed().as_secs_f64() * 1000.0 / f64::from(count))
}
