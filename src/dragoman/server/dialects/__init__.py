"""The dialects that existing clients speak: LibreTranslate's, DeepL's, OpenAI's. Each module has its `OPERATIONS`."""
