"""The bodies of requests and answers: gathered while a request runs, kept beside the requests."""
