"""The pages of a job, in the order in which a person sees them, and what their forms do."""
