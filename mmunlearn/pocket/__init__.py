"""The pocket world: a fast, deterministic cartoon renderer that replaces a diffusion model at small scale."""
