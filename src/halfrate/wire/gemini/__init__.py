"""The Gemini API's dialect: one module per resource."""
