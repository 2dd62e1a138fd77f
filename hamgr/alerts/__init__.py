"""Tells people of what happens: by programs, by mail, by webhooks; never at the cost of the cluster."""
