"""Speed, memory and latency of a training on this device."""
