"""The rules of OAuth and OpenID Connect, without I/O: values in, values or errors out."""
