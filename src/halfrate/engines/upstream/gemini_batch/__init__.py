"""An Engine that has Requests answered by the Gemini API's own batches."""
