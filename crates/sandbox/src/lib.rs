//! A simulated Cloudflare account with an Okta-like receiver, chat and mail sinks.
