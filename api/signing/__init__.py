"""The remote signer's transport: a Unix socket between the service and the process with the keys.

`server` serves a `SignerService`, `client` is the `call` of a `RemoteCustody`; both are of
`keys.custody`, where the messages are described.
"""
