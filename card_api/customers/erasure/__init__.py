"""A person's right to know what is kept about them, and to have it taken out (GDPR, 152-FZ).

person   what of all the tables is about this person, and about nobody else
scrub    a call without the person: what remains is statistics (pure)
erasers  the SQL that takes it out, a function a place; other domains add theirs
service  all of it in one transaction, and one audit entry
subject  all of it as one JSON document
"""
