"""Other systems that know customers: asked side by side with our own tables, believed only as far as they answer in
time and to the point.

`source.py` says what a source is, `http.py` is the one that settings alone describe (`template.py` the question,
`mapping.py` and `values.py` the answer), `watch.py` puts cache, breaker and figures around any of them, `gather.py`
asks all, `merge.py` makes one picture of what they said, `build.py` makes them from the settings.
"""
