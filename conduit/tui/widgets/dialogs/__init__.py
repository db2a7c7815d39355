"""Dialogs: what asks before it answers, chooses from a list, fills a form in or shows a secret."""
