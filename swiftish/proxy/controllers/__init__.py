"""Controllers: one per kind of target and verb; they raise Refusal and talk to the cluster."""
