"""The use cases behind the server and the command line."""
