"""The commands for more pictures than one machine should do: they may run on a Ray cluster."""
