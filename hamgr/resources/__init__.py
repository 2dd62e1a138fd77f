"""Resources are the services and addresses that groups are made of."""
