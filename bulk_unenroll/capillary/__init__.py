"""The Loyalty+ API of Capillary: what is asked, what an answer means, how to reach it."""
