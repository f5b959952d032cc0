"""Hardware: chosen, shared by the ranks of a job, and how ranks are started."""
