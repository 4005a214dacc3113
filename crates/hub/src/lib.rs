//! The stages that carry data from Cloudflare to people, detections, risk and signals.
