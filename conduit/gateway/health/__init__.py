"""How providers do, by the calls that go to them: breakers, credentials that are out, speeds."""
