"""The Loyalty+ API of Capillary: how to call it, what its answers mean, who may call."""
