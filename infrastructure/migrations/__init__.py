"""All DDL but the tables of a generation."""
