//! A typed client for the Cloudflare calls that an identity hub makes.
