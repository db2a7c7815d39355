"""Gemini's `generateContent` and its siblings: the wire format of Google's API and Vertex AI."""
