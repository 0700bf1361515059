"""What an agent says during a call about who is calling: picked, named, written down, added."""
